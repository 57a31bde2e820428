package openai

import "teller/llm"

// Chunks makes the chunks of one streamed reply, in their order: Role, any number of Text, then End, and LastUsage where the
// usage was asked for.
type Chunks struct {
	Head         Head // ID, Created and Model; the others are set here
	LogProbs     bool // the request asks for them
	IncludeUsage bool // the request asks for the usage
}

// Role is the first chunk.
func (c Chunks) Role() Chunk {
	empty := ""
	return c.chunk(ChunkChoice{Delta: Delta{Role: llm.Assistant, Content: &empty}})
}

// Text is the next piece of the text. An empty one keeps a silent connection alive.
func (c Chunks) Text(d llm.Delta) Chunk {
	choice := ChunkChoice{}
	if d.Text != "" {
		choice.Delta.Content = &d.Text
	}
	if c.LogProbs {
		choice.LogProbs = newLogProbs(d.LogProbs)
	}
	return c.chunk(choice)
}

// End says why the reply ended and what answered.
func (c Chunks) End(reply llm.Completion, extra Teller) Chunk {
	out := c.chunk(ChunkChoice{FinishReason: &reply.FinishReason})
	out.Model, out.Fingerprint, out.Teller = extra.ModelVersion, reply.Served, &extra
	return out
}

// LastUsage tells the usage, in a chunk without a choice. ok is false when it was not asked for.
func (c Chunks) LastUsage(reply llm.Completion, extra Teller) (out Chunk, ok bool) {
	usage := NewUsage(reply.Usage)
	told := &usage
	out = Chunk{Head: c.Head, Choices: []ChunkChoice{}, Usage: &told}
	out.Object, out.Model, out.Fingerprint = objectChunk, extra.ModelVersion, reply.Served
	return out, c.IncludeUsage
}

func (c Chunks) chunk(choice ChunkChoice) Chunk {
	out := Chunk{Head: c.Head, Choices: []ChunkChoice{choice}}
	out.Object = objectChunk
	if c.IncludeUsage {
		out.Usage = new(*Usage)
	}
	return out
}
