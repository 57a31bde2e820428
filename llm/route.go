package llm

// Auto is how callers name the route where a model's name is asked for: the active model, its split and its fallbacks. No model
// is called so.
const Auto = "auto"
