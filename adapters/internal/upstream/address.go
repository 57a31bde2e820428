package upstream

import (
	"net/url"
	"strings"
)

// BaseURL reads the address that a provider was configured with. ok is false for what is no http or
// https address without query and fragment; the address may hold a password, so no error repeats it.
func BaseURL(address string) (u *url.URL, ok bool) {
	u, err := url.Parse(address)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" || u.RawQuery != "" || u.Fragment != "" {
		return nil, false
	}
	return u, true
}

// HeaderSafe tells whether an API key can stand in an HTTP header.
func HeaderSafe(key string) bool {
	return !strings.ContainsFunc(key, func(r rune) bool { return r < ' ' || r >= 0x7f })
}
