// Package llama computes a Llama-style decoder: tokens of several sequences go in, the logits of the tokens that follow come out, and
// keys and values stay in a paged cache. It says what a device must do for that, and does it on this machine's processor. It knows no
// text, no sampling and no requests; package transformer's engine decides what runs when.
//
//	Model  weights, packed once for package kernels; read-only
//	Batch  what one step runs: pieces of sequences, each with its table of cache pages
//	Device what runs Batches, with the cache's memory; package opencl has another one
//	CPU    the Device that is always there
//
// What a sequence's logits are does not depend, to the last bit, on what else is in the batch, nor on how its tokens are cut into
// steps: every sum runs in an order that depends on the model alone.
package llama
