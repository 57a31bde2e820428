package api

import (
	"fmt"
	"net/http"
	"time"

	"github.com/gin-gonic/gin"

	"teller/store"
)

// usageResponse is the body of GET /api/v1/usage.
type usageResponse struct {
	Usage []usageRow `json:"usage"` // per tenant, model and day; newest day first
}

type usageRow struct {
	store.UsageSum
	AvgLatencyMs float64 `json:"avg_latency_ms"`
}

// usage sums up what the caller's tenant used; an admin sees every tenant's, or one with ?tenant=.
func (s *server) usage(c *gin.Context) {
	q := store.UsageQuery{Tenant: tenant(c), Model: c.Query("model")}
	if caller(c).Role == store.RoleAdmin {
		q.Tenant = c.Query("tenant")
	}
	var p *problem
	if q.From, p = dayQuery(c, "from"); p == nil {
		q.To, p = dayQuery(c, "to")
	}
	if p != nil {
		writeError(c, p)
		return
	}
	if !q.To.IsZero() {
		q.To = q.To.AddDate(0, 0, 1) // the day itself counts
	}
	sums, err := s.Store.SumUsage(c.Request.Context(), q)
	if err != nil {
		writeError(c, s.storeDown(c, err))
		return
	}
	out := usageResponse{Usage: make([]usageRow, len(sums))}
	for i, sum := range sums {
		out.Usage[i] = usageRow{sum, float64(sum.LatencyMs) / float64(sum.Turns)}
	}
	c.JSON(http.StatusOK, out)
}

func dayQuery(c *gin.Context, name string) (time.Time, *problem) {
	text := c.Query(name)
	if text == "" {
		return time.Time{}, nil
	}
	day, err := time.Parse(time.DateOnly, text)
	if err != nil || day.Year() < 2000 || day.Year() > 9999 {
		return time.Time{}, invalid(name, fmt.Sprintf("%s must be a day such as 2026-01-31", name))
	}
	return day, nil
}

// storeDown logs what the store said and gives what a caller may know of it.
func (s *server) storeDown(c *gin.Context, err error) *problem {
	s.Log.Error("the store failed", "error", err, "request_id", c.GetString(requestIDKey))
	return &problem{status: http.StatusServiceUnavailable, kind: serverErrorType, code: "unavailable", message: "the store cannot be reached"}
}
