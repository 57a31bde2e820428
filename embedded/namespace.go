package main

import (
	"context"
	"fmt"
	"slices"
	"time"

	enumspb "go.temporal.io/api/enums/v1"
	persistencespb "go.temporal.io/server/api/persistence/v1"
	"go.temporal.io/server/common/config"
	serverlog "go.temporal.io/server/common/log"
	"go.temporal.io/server/common/metrics"
	"go.temporal.io/server/common/persistence"
	"go.temporal.io/server/common/persistence/serialization"
	persistencesql "go.temporal.io/server/common/persistence/sql"
	"go.temporal.io/server/common/persistence/sql/sqlplugin"
	"go.temporal.io/server/common/resolver"
	"go.temporal.io/server/common/searchattribute/sadefs"
	"go.temporal.io/server/schema/sqlite"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
)

const clusterName = "active"

type searchAttribute struct {
	name string
	kind enumspb.IndexedValueType
}

// searchAttributes are what Teller's workflows are found by in the Web UI.
var searchAttributes = []searchAttribute{
	{"TellerModel", enumspb.INDEXED_VALUE_TYPE_KEYWORD},
	{"TellerConversation", enumspb.INDEXED_VALUE_TYPE_KEYWORD},
	{"TellerTenant", enumspb.INDEXED_VALUE_TYPE_KEYWORD},
	{"TellerOutcome", enumspb.INDEXED_VALUE_TYPE_KEYWORD},
	{"TellerLatencyMs", enumspb.INDEXED_VALUE_TYPE_INT},
}

// ensureNamespace creates the namespace if it is missing, and gives it this retention and all search attributes.
//
// It writes to the database before the server starts, where every part of the server then reads it. Through the API the
// parts would learn of a new attribute one after the other, within seconds, and nothing tells when the last one has.
func ensureNamespace(ctx context.Context, cfg *config.SQL, name string, retention time.Duration) error {
	created, err := sqlite.NewNamespaceConfig(clusterName, name, false, nil)
	if err != nil {
		return err
	}
	if err := sqlite.CreateNamespaces(cfg, created); err != nil {
		return err
	}
	db, err := openStore(cfg)
	if err != nil {
		return err
	}
	defer func() { _ = db.Close() }()
	row, detail, err := readNamespace(ctx, db, name)
	if err != nil {
		return err
	}
	before := proto.CloneOf(detail)
	detail.Config.Retention = durationpb.New(retention)
	if err := addSearchAttributes(detail.Config); err != nil {
		return err
	}
	if proto.Equal(before, detail) {
		return nil
	}
	blob, err := serialization.NewSerializer().NamespaceDetailToBlob(detail)
	if err != nil {
		return err
	}
	row.Data, row.DataEncoding = blob.Data, blob.EncodingType.String()
	_, err = db.UpdateNamespace(ctx, row)
	return err
}

// openStore opens the database through the server's own store. All its users in a process share one connection.
func openStore(cfg *config.SQL) (sqlplugin.DB, error) {
	return persistencesql.NewSQLDB(sqlplugin.DbKindUnknown, cfg, resolver.NewNoopResolver(),
		serverlog.NewNoopLogger(), metrics.NoopMetricsHandler)
}

func readNamespace(ctx context.Context, db sqlplugin.DB, name string) (*sqlplugin.NamespaceRow, *persistencespb.NamespaceDetail, error) {
	rows, err := db.SelectFromNamespace(ctx, sqlplugin.NamespaceFilter{Name: &name})
	if err != nil {
		return nil, nil, err
	}
	detail, err := serialization.NewSerializer().NamespaceDetailFromBlob(persistence.NewDataBlob(rows[0].Data, rows[0].DataEncoding))
	return &rows[0], detail, err
}

// addSearchAttributes gives each attribute that has none a column of its type. In a SQL store the columns are there
// beforehand under names such as Keyword01, and the namespace says which attribute each one holds.
func addSearchAttributes(cfg *persistencespb.NamespaceConfig) error {
	if cfg.CustomSearchAttributeAliases == nil {
		cfg.CustomSearchAttributeAliases = map[string]string{}
	}
	columns := sadefs.GetDBIndexSearchAttributes(nil).CustomSearchAttributes
	taken := make(map[string]string) // attribute -> column
	for column, attribute := range cfg.CustomSearchAttributeAliases {
		taken[attribute] = column
	}
	for _, attribute := range searchAttributes {
		if column, ok := taken[attribute.name]; ok {
			if columns[column] != attribute.kind {
				return fmt.Errorf("search attribute %s is there as %s, but Teller writes %s; remove it or use another namespace",
					attribute.name, columns[column], attribute.kind)
			}
			continue
		}
		var free []string
		for column, kind := range columns {
			if _, used := cfg.CustomSearchAttributeAliases[column]; kind == attribute.kind && !used {
				free = append(free, column)
			}
		}
		if len(free) == 0 {
			return fmt.Errorf("search attribute %s: all columns of type %s are taken; remove one of the others or use another namespace",
				attribute.name, attribute.kind)
		}
		cfg.CustomSearchAttributeAliases[slices.Min(free)] = attribute.name
	}
	return nil
}
