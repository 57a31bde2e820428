package gemini

import (
	"log/slog"
	"strings"
	"sync"
)

// rerouting remembers which versions have been warned of.
type rerouting struct{ warned sync.Map }

// warn logs, once for each version, that another model answered than the one asked for: retired ids are
// rerouted in silence, and with them changes what is served, what it costs and what was measured.
func (r *rerouting) warn(asked, served string) {
	if served == "" || isVersionOf(served, asked) {
		return
	}
	if _, before := r.warned.LoadOrStore(served, true); !before {
		slog.Warn("gemini answers with another model than the one configured: set GEMINI_MODEL", "asked", asked, "served", served)
	}
}

// isVersionOf tells whether served is asked itself or one of its versions ("-001", "-preview-09-2025").
// An id that ends in "-latest" asks for whatever is newest.
func isVersionOf(served, asked string) bool {
	asked, served = strings.TrimPrefix(asked, "models/"), strings.TrimPrefix(served, "models/")
	if strings.HasSuffix(asked, "-latest") || served == asked {
		return true
	}
	version, found := strings.CutPrefix(served, asked+"-")
	if !found || version == "" {
		return false
	}
	// "gemini-2.5-flash-lite" is no version of "gemini-2.5-flash".
	return strings.HasPrefix(version, "preview") || strings.HasPrefix(version, "exp") || (version[0] >= '0' && version[0] <= '9')
}
