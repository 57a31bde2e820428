package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/user"
	"text/tabwriter"
	"time"

	"teller/config"
	"teller/store"
)

type keysCmd struct {
	Create createKeyCmd `cmd:"" help:"Make a key. It is shown once, here; the store keeps only its SHA-256."`
	List   listKeysCmd  `cmd:"" help:"List the keys, without their secrets."`
	Revoke revokeKeyCmd `cmd:"" help:"Revoke a key. Every API process refuses it within a second."`
}

// Help stands below the list of subcommands.
func (keysCmd) Help() string {
	return `Callers send a key as 'Authorization: Bearer tlr_...'. It names their tenant: nobody else sees its conversations, turns and usage.
Until the first key is made, the API needs none and listens on loopback only.
The commands work on the store itself (DATABASE_URL, or the SQLite file in TELLER_DATA_DIR), whether or not an API is running.`
}

type createKeyCmd struct {
	Tenant            string `required:"" help:"Whose key it is: 1 to 63 letters, digits, '_', '.' or '-'."`
	Role              string `required:"" enum:"chat,admin" help:"chat: ask, and read what is the tenant's. admin: switch models, start benchmarks and read all usage as well."`
	Name              string `help:"What the key is for, shown in the list."`
	RequestsPerMinute int    `help:"How many requests the key may make in a minute; 0: as many as it likes."`
	TokensPerMinute   int    `help:"How many tokens, prompt and completion, the key may use in a minute; 0: as many as it likes."`
	JSON              bool   `name:"json" help:"Print JSON."`
}

func (c createKeyCmd) Run(ctx context.Context) error {
	return withStore(ctx, func(rows *store.Store) error {
		key, text, err := rows.CreateKey(ctx, store.Key{Tenant: c.Tenant, Role: store.Role(c.Role), Name: c.Name,
			RequestsPerMinute: c.RequestsPerMinute, TokensPerMinute: c.TokensPerMinute}, operator())
		if err != nil {
			return err
		}
		if c.JSON {
			return printJSON(os.Stdout, struct {
				store.Key
				Secret string `json:"key"`
			}{key, text})
		}
		fmt.Println(text)
		fmt.Fprintf(os.Stderr, "This is key %s of tenant %s, role %s. It is not shown again.\n", key.ID, key.Tenant, key.Role)
		return nil
	})
}

type listKeysCmd struct {
	JSON bool `name:"json" help:"Print JSON."`
}

func (c listKeysCmd) Run(ctx context.Context) error {
	return withStore(ctx, func(rows *store.Store) error {
		keys, err := rows.Keys(ctx)
		if err != nil {
			return err
		}
		if c.JSON {
			return printJSON(os.Stdout, keys)
		}
		if len(keys) == 0 {
			fmt.Println("There are no keys: the API listens on loopback only. 'teller keys create' makes one.")
			return nil
		}
		w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
		fmt.Fprintln(w, "ID\tTENANT\tROLE\tREQUESTS/MIN\tTOKENS/MIN\tCREATED\tREVOKED\tNAME")
		for _, k := range keys {
			revoked := "-"
			if !k.RevokedAt.IsZero() {
				revoked = k.RevokedAt.Format(time.RFC3339)
			}
			fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", k.ID, k.Tenant, k.Role, limitText(k.RequestsPerMinute), limitText(k.TokensPerMinute),
				k.CreatedAt.Format(time.RFC3339), revoked, k.Name)
		}
		return w.Flush()
	})
}

func limitText(n int) string {
	if n == 0 {
		return "-"
	}
	return fmt.Sprint(n)
}

type revokeKeyCmd struct {
	ID   string `arg:"" help:"The key's id, from 'teller keys list'."`
	JSON bool   `name:"json" help:"Print JSON."`
}

func (c revokeKeyCmd) Run(ctx context.Context) error {
	return withStore(ctx, func(rows *store.Store) error {
		key, err := rows.RevokeKey(ctx, c.ID, operator())
		switch {
		case errors.Is(err, store.ErrNoKey):
			return fmt.Errorf("there is no key %q; 'teller keys list' shows those there are", c.ID)
		case err != nil:
			return err
		case c.JSON:
			return printJSON(os.Stdout, key)
		}
		fmt.Printf("Key %s of tenant %s is revoked.\n", key.ID, key.Tenant)
		return nil
	})
}

// withStore opens the store of the configuration for do.
func withStore(ctx context.Context, do func(*store.Store) error) error {
	cfg, err := config.Load()
	if err != nil {
		return err
	}
	rows, err := store.Open(ctx, store.Config{DatabaseURL: cfg.DatabaseURL, DataDir: cfg.DataDir})
	if err != nil {
		return err
	}
	return errors.Join(do(rows), rows.Close())
}

// operator names who runs the command, for the audit.
func operator() string {
	if u, err := user.Current(); err == nil {
		return "command line, " + u.Username
	}
	return "command line"
}
