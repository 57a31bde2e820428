package turns

import (
	"encoding/hex"
	"regexp"

	"github.com/google/uuid"
)

// NewID makes a turn's id. Of a turn in a conversation it begins with the hash that names the conversation's workflow,
// so that the id alone is enough to find the turn. A caller's Idempotency-Key always gives the same id; "" draws one.
func NewID(tenant, conversationID, key string) string {
	drawn := uuid.New()
	id := hex.EncodeToString(drawn[:])
	if key != "" {
		id = Hash("turn", tenant, key)
	}
	if conversationID == "" {
		return id
	}
	return conversationHash(tenant, conversationID) + "-" + id
}

var turnID = regexp.MustCompile(`^(?:([0-9a-f]{32})-)?[0-9a-f]{32}$`)

// workflowOf gives the workflow that answers a turn, and whether it is a conversation; ok is false for what is no turn's id.
func workflowOf(id string) (workflow string, conversation, ok bool) {
	parts := turnID.FindStringSubmatch(id)
	switch {
	case parts == nil:
		return "", false, false
	case parts[1] != "":
		return conversationPrefix + parts[1], true, true
	default:
		return chatPrefix + id, false, true
	}
}
