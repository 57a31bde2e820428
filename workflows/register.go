package workflows

// Registry is what workflows are registered with: a worker, or the replayer of saved histories.
type Registry interface{ RegisterWorkflow(workflow any) }

// Register registers every workflow of this package, so that what runs is also what is replayed.
func Register(r Registry) {
	r.RegisterWorkflow(Chat)
	r.RegisterWorkflow(Conversation)
	r.RegisterWorkflow(Check)
	r.RegisterWorkflow(Usage)
	r.RegisterWorkflow(Benchmark)
	r.RegisterWorkflow(BenchmarkModel)
}
