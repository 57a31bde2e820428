package llama

// Device runs batches of one model; its memory holds their keys and values. It is for one goroutine at a time. What a sequence's logits
// are must not depend, to the last bit, on what else is in the batch, nor on how its tokens are cut into steps: package devicetest holds
// every device to that, and to the formulas.
type Device interface {
	// Name says what computes, for a listing of models: "cpu", or the kind and the name of a card.
	Name() string
	// Threads is one more than the greatest worker that Take sees.
	Threads() int
	// Pages is how many pages the cache has, numbered from 0.
	Pages() int
	// Step runs a batch: it leaves the keys and values of its tokens in the cache and gives take the logits that are wanted. An error says
	// that the device has failed; then all that its cache held is lost, and it is of no use any more.
	Step(b *Batch, take Take) error
	// Rest says that no step will follow soon.
	Rest()
	// Close gives the memory back. It is the last call.
	Close()
}

// Accelerator is hardware beside the processor that can run models.
type Accelerator interface {
	// Name is that of the devices it opens.
	Name() string
	// Room is how many bytes of keys and values it can hold beside a model's weights, 0 or less where these do not fit.
	Room(m *Model) int
	// Open gives the hardware a model's weights, and room for so many pages. It runs what a Step needs once, as far as it can: what
	// cannot work should fail here, where the processor can take over before anyone waits.
	Open(m *Model, pages int) (Device, error)
}

var _ Device = (*CPU)(nil)
