package weights

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
)

// sampled is how many bytes at each end of a tensor a fingerprint looks at.
const sampled = 4096

// Fingerprint names the weights: a SHA-256, in hex, over the architecture and every tensor's name, type, shape and the bytes at both ends
// of it. It tells models apart without reading gigabytes; it is no proof that no byte was changed.
func (m *Model) Fingerprint() string {
	h := sha256.New()
	rope := m.Rope
	llama3 := rope.Llama3 // printed as what it points to
	rope.Llama3 = nil
	a := m.Architecture
	a.Rope = rope
	fmt.Fprintf(h, "%+v %+v\n", a, llama3)
	for _, t := range m.Tensors() {
		fmt.Fprintf(h, "%s %v %v\n", t.Name, t.Type, t.Shape)
		h.Write(t.Data[:min(sampled, len(t.Data))])
		h.Write(t.Data[max(0, len(t.Data)-sampled):])
	}
	return hex.EncodeToString(h.Sum(nil))
}
