// Package kernels is the arithmetic of a Llama-style transformer on a CPU: products with weight matrices (eight and four bits in
// groups of 32, float32, float16, bfloat16), attention over a paged cache, norms, rotary positions, SwiGLU, and the search for the
// best logits. It knows no model: whoever calls it decides what is multiplied with what. Nothing in it allocates once its
// buffers have grown.
//
// # Products
//
// A [Matrix] holds weights (rows, cols) in the order in which the processor wants them, packed once when a model is loaded. An [Input]
// holds n vectors of cols numbers in the form that the matrix wants: floats, or eight-bit integers with a scale for each 32 of
// them. [Multiply] splits several products with one input over the threads of a [Pool].
//
//	w := kernels.NewMatrix(kernels.Q8, rows, cols)
//	err := w.SetRows(0, bytesOfTheFile)     // or SetFloats, which quantises
//	var in kernels.Input
//	in.Reset(w.Format, n, cols)
//	for i := range n {
//		in.Set(i, x[i*cols:(i+1)*cols])
//	}
//	kernels.Multiply(pool, &in, kernels.Product{W: w, Out: out, Step: rows}) // out is (n, rows)
//
// [Gemm] is the general product of float32 matrices that training needs.
//
// # Attention
//
// A [Cache] says where keys and values lie in pages; [Store] and [Attend] write and read them.
//
// # Processors
//
// Each function has up to three implementations: AVX-512 with VNNI, AVX2 with FMA and F16C, and plain Go. [Active] tells which one
// was chosen when the program started. TELLER_KERNELS=go, avx2 or avx512 chooses another that the processor has. The assembly is
// written by internal/gen.
package kernels

//go:generate go run -C internal/gen . -out ../../asm_amd64.s -stubs ../../asm_amd64.go -pkg kernels
