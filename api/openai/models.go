package openai

// ModelList is the body of GET /v1/models.
type ModelList struct {
	Object string  `json:"object"` // "list"
	Data   []Model `json:"data"`
}

// Model is a model as OpenAI lists it.
type Model struct {
	ID      string `json:"id"`
	Object  string `json:"object"`  // "model"
	Created int64  `json:"created"` // 0: nobody has recorded when
	OwnedBy string `json:"owned_by"`
}

// NewModelList lists models in their order.
func NewModelList(models []Model) ModelList { return ModelList{Object: "list", Data: models} }

// NewModel describes a model by its name and by what serves it.
func NewModel(name, servedBy string) Model {
	return Model{ID: name, Object: "model", OwnedBy: servedBy}
}
