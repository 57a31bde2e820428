package api

import (
	"hash/fnv"
	"slices"

	"teller/store"
)

// plan gives the models to try, in order: the one that the split draws for this conversation, or the
// active one, then the fallbacks. The same key draws the same model while the split stays as it is.
func plan(route store.Route, key string) []string {
	first := route.Active
	if drawn := draw(route.Split, key); drawn != "" {
		first = drawn
	}
	names := []string{first}
	for _, name := range route.Fallbacks {
		if !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names
}

// draw picks a model by weight with the key's hash; "" without a split.
func draw(split map[string]int, key string) string {
	names, total := make([]string, 0, len(split)), 0
	for name, weight := range split {
		names = append(names, name)
		total += weight
	}
	if total <= 0 {
		return ""
	}
	slices.Sort(names)
	h := fnv.New64a()
	h.Write([]byte(key))
	// The low bits of FNV-1a spread badly over short keys of one shape; its high half does not.
	at := int((h.Sum64() >> 32) % uint64(total))
	for _, name := range names {
		if at -= split[name]; at < 0 {
			return name
		}
	}
	return ""
}
