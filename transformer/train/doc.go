// Package train makes the weights of the custom transformer: it goes from the banking corpus to a folder with
// config.json, model.safetensors and tokenizer.json that package transformer serves.
//
// Gorgonia is the autodiff engine. A training step is one run of a TapeMachine over a graph of fused operations
// (embedding, linear, RMSNorm, rotary attention, SwiGLU, masked cross-entropy); each operation brings its own gradient.
// The package owns what Gorgonia's solvers cannot do without copying every parameter: AdamW, the averaged weights,
// and the checkpoint.
//
// It is not used to serve: package transformer has its own forward pass and does not import this one, so that only
// the train command links Gorgonia.
//
// Everything is deterministic. The batch of a step, its augmentation and the initial weights follow from the seed
// alone, and every sum has a fixed order whatever the number of cores. The same seed, options and corpus therefore give the
// same weights on the same kind of machine, also when the run was killed and resumed in between.
package train
