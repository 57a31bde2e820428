package gemini

import "errors"

var errPanic = errors.New("the SDK panicked")

// guarded calls into an SDK. Both panic on JSON of a shape they do not know (genai asserts the types of
// an untyped map, generative-ai-go those of a part), which is a bad reply and no reason to end the
// process.
func guarded[T any](f func() (T, error)) (out T, err error) {
	defer func() {
		if recover() != nil {
			err = errPanic
		}
	}()
	return f()
}
