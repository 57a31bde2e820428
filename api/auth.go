package api

import (
	"context"
	"crypto/sha256"
	"errors"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/gin-gonic/gin"

	"teller/store"
)

// Keys knows the callers' keys and counts what they use.
type Keys interface {
	HasKeys(ctx context.Context) (bool, error)
	Authenticate(ctx context.Context, text string) (store.Key, error)
	Spend(ctx context.Context, keyID string, requests, tokens int, at time.Time) (store.Spent, error)
}

const (
	// keyFor is how long a key is taken as it was: a revoked one is refused after that time.
	keyFor = time.Second
	// keyThroughOutage is how long a key goes on being taken while the store cannot be asked.
	keyThroughOutage = time.Minute
	// maxKnownKeys bounds the memory for keys that were seen lately.
	maxKnownKeys = 10_000
	// maxKeyBytes is far more than a key is long.
	maxKeyBytes = 512
)

// nobody is the caller while there are no keys: the API then listens on loopback only, so it is somebody on this machine.
var nobody = store.Key{Tenant: "default", Role: store.RoleAdmin}

// keyring remembers for a moment what the store said of keys, so that a turn does not wait for it.
type keyring struct {
	keys Keys
	now  func() time.Time

	mu       sync.Mutex
	required bool // callers need a key; never goes back
	asked    time.Time
	known    map[[sha256.Size]byte]knownKey
}

type knownKey struct {
	key   store.Key
	asked time.Time
}

func newKeyring(keys Keys) *keyring {
	return &keyring{keys: keys, now: time.Now, known: map[[sha256.Size]byte]knownKey{}}
}

var (
	errNoKey    = &problem{status: http.StatusUnauthorized, kind: invalidRequestType, code: "invalid_api_key", message: "send a key of this API: Authorization: Bearer tlr_...; 'teller keys create' makes one"}
	errWrongKey = &problem{status: http.StatusUnauthorized, kind: invalidRequestType, code: "invalid_api_key", message: "the API key is unknown or was revoked"}
	errNotAdmin = &problem{status: http.StatusForbidden, kind: invalidRequestType, code: "admin_key_required", message: "this route needs a key with the role admin"}
	errKeyStore = &problem{status: http.StatusServiceUnavailable, kind: serverErrorType, code: "unavailable", message: "keys cannot be checked: the store cannot be reached"}
)

// caller finds out who sent a request.
func (k *keyring) caller(ctx context.Context, header string) (store.Key, *problem) {
	required, err := k.needed(ctx)
	if err != nil {
		return store.Key{}, errKeyStore
	}
	if !required {
		return nobody, nil
	}
	scheme, text, _ := strings.Cut(header, " ")
	text = strings.TrimSpace(text)
	if !strings.EqualFold(scheme, "Bearer") || text == "" {
		return store.Key{}, errNoKey
	}
	if len(text) > maxKeyBytes {
		return store.Key{}, errWrongKey
	}
	hash := sha256.Sum256([]byte(text))
	now := k.now()
	k.mu.Lock()
	before, seen := k.known[hash]
	k.mu.Unlock()
	if seen && now.Sub(before.asked) < keyFor {
		return before.key, nil
	}
	key, err := k.keys.Authenticate(ctx, text)
	switch {
	case err == nil:
		k.remember(hash, knownKey{key, now})
		return key, nil
	case errors.Is(err, store.ErrNoKey):
		k.forget(hash)
		return store.Key{}, errWrongKey
	case seen && now.Sub(before.asked) < keyThroughOutage:
		return before.key, nil
	default:
		return store.Key{}, errKeyStore
	}
}

// needed tells whether callers need a key.
func (k *keyring) needed(ctx context.Context) (bool, error) {
	now := k.now()
	k.mu.Lock()
	required, asked := k.required, k.asked
	k.mu.Unlock()
	if required || now.Sub(asked) < keyFor {
		return required, nil
	}
	required, err := k.keys.HasKeys(ctx)
	if err != nil {
		if !asked.IsZero() && now.Sub(asked) < keyThroughOutage {
			return false, nil
		}
		return false, err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.required, k.asked = k.required || required, now
	return k.required, nil
}

func (k *keyring) remember(hash [sha256.Size]byte, known knownKey) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if len(k.known) >= maxKnownKeys {
		clear(k.known)
	}
	k.known[hash] = known
}

func (k *keyring) forget(hash [sha256.Size]byte) {
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(k.known, hash)
}

const callerKey = "caller"

// authenticate lets a request on only when its caller is known.
func (s *server) authenticate(c *gin.Context) {
	caller, p := s.keyring.caller(c.Request.Context(), c.GetHeader("Authorization"))
	if p != nil {
		if p.status == http.StatusUnauthorized {
			c.Header("WWW-Authenticate", `Bearer realm="teller"`)
		}
		writeError(c, p)
		return
	}
	c.Set(callerKey, caller)
}

// admin lets on only callers who may change what all others share.
func (s *server) admin(c *gin.Context) {
	if caller(c).Role != store.RoleAdmin {
		writeError(c, errNotAdmin)
	}
}

// caller gives who sent the request, after authenticate.
func caller(c *gin.Context) store.Key {
	key, _ := c.Get(callerKey)
	known, _ := key.(store.Key)
	return known
}

// tenant gives whose data the request is about.
func tenant(c *gin.Context) string { return caller(c).Tenant }

// actor names the caller in the audit.
func actor(c *gin.Context) string {
	if id := caller(c).ID; id != "" {
		return "key " + id
	}
	return "api"
}
