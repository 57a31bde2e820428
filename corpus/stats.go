package corpus

// Stats counts what a corpus holds.
type Stats struct {
	Topics    int
	Intents   int
	Families  int
	Phrasings int // that differ in more than case and punctuation
	Answers   int // without and with a context
	// ByKind counts phrasings likewise.
	ByKind map[Kind]int
	// HeldOut counts the families of the validation split.
	HeldOut int
}

// Stats counts what the corpus holds.
func (c *Corpus) Stats() Stats {
	s := Stats{Intents: len(c.Intents), ByKind: map[Kind]int{}}
	topics := map[string]bool{}
	for _, in := range c.Intents {
		topics[in.Topic] = true
		s.Families += len(in.Families)
		s.HeldOut += len(in.families(Validation))
		s.Answers += len(in.Answers)
		if in.Context != nil {
			s.Answers += len(in.Context.Answers)
		}
		distinct := map[string]bool{}
		for _, family := range in.Families {
			for _, phrasing := range family.Phrasings {
				distinct[normalise(phrasing)] = true
			}
		}
		s.Phrasings += len(distinct)
		s.ByKind[in.Kind] += len(distinct)
	}
	s.Topics = len(topics)
	return s
}
