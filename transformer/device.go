package transformer

import (
	"cmp"
	"errors"
	"fmt"

	"teller/transformer/llama"
)

// DeviceError tells that a device failed while it computed a request. The processor goes on in its place, so that trying again helps.
type DeviceError struct {
	Device string // its name
	Err    error
}

func (e *DeviceError) Error() string {
	return fmt.Sprintf("%s failed at work, the processor goes on in its place: %v", e.Device, e.Err)
}

func (e *DeviceError) Unwrap() error { return e.Err }

// stepOnAccelerator is how many tokens a step carries at most on an accelerator: more hardly makes better use of weights once they are read.
const stepOnAccelerator = 512

// accelerate opens the first accelerator that can run the model, and keeps the reasons of those before it that can't.
func (e *Engine) accelerate(accelerators []llama.Accelerator) {
	var refused []error
	for _, a := range accelerators {
		e.slots = e.options.Slots
		device, err := e.openOn(a)
		if err == nil {
			e.use(device)
			e.chunk = cmp.Or(max(0, e.options.Chunk), stepOnAccelerator)
			break
		}
		refused = append(refused, fmt.Errorf("%s: %w", a.Name(), err))
	}
	e.refused = errors.Join(refused...)
}

func (e *Engine) openOn(a llama.Accelerator) (llama.Device, error) {
	room := a.Room(e.model.net)
	least := e.model.CacheBytes(min(e.model.Window(), usualTokens))
	if room < least {
		return nil, fmt.Errorf("its memory leaves %d MB beside the weights, a conversation takes %d", max(0, room)>>20, least>>20)
	}
	if e.options.CacheBytes > 0 {
		room = min(room, e.options.CacheBytes)
	}
	e.size(room)
	return a.Open(e.model.net, e.pages.count())
}

// size makes room for keys and values within a bound, one page at least. The slots follow the room where nobody has said how many there
// are.
func (e *Engine) size(bytes int) {
	count := max(1, bytes/e.model.net.PageBytes())
	window := llama.PagesOf(e.model.Window())
	if e.slots < 1 {
		e.slots = max(1, min(maxSlots, count/min(window, llama.PagesOf(usualTokens))))
	}
	e.pages = newPages(min(count, e.slots*window))
	e.window = min(e.model.Window(), e.pages.count()*llama.PageTokens)
}

// useProcessor makes room in this machine's memory. The threads and the cache come with the first request.
func (e *Engine) useProcessor() {
	bound := e.options.CacheBytes
	if bound < 1 {
		bound = availableMemory() / 4
	}
	e.size(bound)
	e.name = cpuName
	if e.chunk = e.options.Chunk; e.chunk < 1 {
		e.chunk = chunkOf(e.model.net)
	}
}

func (e *Engine) use(d llama.Device) {
	e.device, e.name = d, d.Name()
	e.scratch = make([]scratch, d.Threads())
}

const cpuName = "cpu"

// open makes the device when it is first needed. e.mu is held.
func (e *Engine) open() error {
	if e.device != nil {
		return nil
	}
	cpu, err := llama.NewCPU(e.model.net, e.pages.count(), e.threads)
	if err == nil {
		e.use(cpu)
	}
	return err
}

// lose ends what ran on a device that failed, with it all that its memory held, and leaves the rest to the processor.
func (e *Engine) lose(err error) {
	err = &DeviceError{Device: e.device.Name(), Err: err}
	for _, s := range e.running {
		s.job.fail(err)
		close(s.ended)
	}
	clear(e.running)
	e.running = e.running[:0]
	e.forget()
	e.device.Close()
	e.mu.Lock()
	defer e.mu.Unlock()
	e.device = nil
	e.useProcessor()
	e.refused = errors.Join(e.refused, err)
}

// Device names what computes: "cpu", or an accelerator's name.
func (e *Engine) Device() string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.name
}

// Refused says why accelerators that the options named don't compute; nil when the first of them does, or there was none.
func (e *Engine) Refused() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.refused
}

// Close waits for the requests at work and gives the device's memory back. Another request would open the processor.
func (e *Engine) Close() {
	e.mu.Lock()
	defer e.mu.Unlock()
	for e.looping {
		e.atRest.Wait()
	}
	if e.device != nil {
		e.device.Close()
		e.device = nil
		e.useProcessor()
	}
}
