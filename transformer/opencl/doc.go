// Package opencl runs models on a graphics card, or on whatever else there is an OpenCL 1.2 driver for. It implements llama.Device and
// knows no more than that: no text, no requests.
//
//	Find         what hardware there is
//	Accelerator  one piece of hardware: Open gives it a model's weights and makes a Device
//	Device       a model on it: Step enqueues the kernels of a batch
//	kernels.cl   norms, positions, attention, SwiGLU; products.cl: everything that reads weights
//
// The driver is reached through its loader, libOpenCL.so.1, when the program runs, without cgo (github.com/ebitengine/purego). A program
// that can do that is linked with the system's C library, so it is left out unless the build tag "opencl" asks for it: then Find
// fails, and says so.
//
// Weights stay in the format in which the processor has them, Q8 and Q4 as integers with their scales. All is computed in float32. Every
// sum has an order that depends on the model alone, so that a sequence gets the same logits, to the last bit, whatever runs beside it.
package opencl
