package transformer

import "teller/transformer/llama"

// pages says who holds which page of the cache. A page that is full can be known by what it holds; then sequences that begin in the same
// way share it. A known page that nobody holds any more stays until its room is needed, the longest unused first.
//
// Who gets in first promises itself as many pages as it may ever hold: promises never exceed the pages there are, so that take
// always finds one.
type pages struct {
	promised int
	free     []int32 // held by nobody, holding nothing
	all      []page  // by number
	known    map[pageKey]int32
	serial   uint64 // of the newest known page
	idle     int32  // ring of known pages that nobody holds, by all[].next: all[idle].next is the oldest; the last entry of all is its anchor
}

// page is what there is to know of one page.
type page struct {
	holders    int
	serial     uint64 // 0: not known
	key        pageKey
	next, prev int32 // among the idle
}

// pageKey says exactly what a page holds: its tokens, and, by the serial of the page before it, all tokens before them. Serials are
// never used twice.
type pageKey struct {
	parent uint64
	tokens [llama.PageTokens]int32
}

func newPages(n int) *pages {
	p := &pages{all: make([]page, n+1), known: map[pageKey]int32{}, idle: int32(n)}
	for i := n - 1; i >= 0; i-- {
		p.free = append(p.free, int32(i))
	}
	p.all[n].next, p.all[n].prev = p.idle, p.idle
	return p
}

// count is how many pages there are.
func (p *pages) count() int { return len(p.all) - 1 }

// promise sets n pages aside, if so many are left.
func (p *pages) promise(n int) bool {
	if p.promised+n > p.count() {
		return false
	}
	p.promised += n
	return true
}

// unpromise takes a promise back, after its pages were dropped.
func (p *pages) unpromise(n int) { p.promised -= n }

// take gives an empty page to a sequence with a promise.
func (p *pages) take() int32 {
	if n := len(p.free); n > 0 {
		number := p.free[n-1]
		p.free = p.free[:n-1]
		p.all[number].holders = 1
		return number
	}
	number := p.all[p.idle].next
	if number == p.idle {
		panic("transformer: more pages are taken than were promised")
	}
	p.unlink(number)
	delete(p.known, p.all[number].key)
	p.all[number] = page{holders: 1}
	return number
}

// find gives a page that is known by its key, held by one more.
func (p *pages) find(key *pageKey) (number int32, serial uint64, ok bool) {
	if number, ok = p.known[*key]; !ok {
		return 0, 0, false
	}
	if p.all[number].holders == 0 {
		p.unlink(number)
	}
	p.all[number].holders++
	return number, p.all[number].serial, true
}

// publish makes a full page known. Where another page with the same content is, this one is dropped for it.
func (p *pages) publish(number int32, key *pageKey) (int32, uint64) {
	if same, serial, ok := p.find(key); ok {
		p.drop(number)
		return same, serial
	}
	p.serial++
	p.all[number].serial, p.all[number].key = p.serial, *key
	p.known[*key] = number
	return number, p.serial
}

// drop gives a page back.
func (p *pages) drop(number int32) {
	at := &p.all[number]
	at.holders--
	switch {
	case at.holders > 0:
	case at.serial == 0:
		p.free = append(p.free, number)
	default: // becomes the newest idle one
		last := p.all[p.idle].prev
		at.prev, at.next = last, p.idle
		p.all[last].next, p.all[p.idle].prev = number, number
	}
}

func (p *pages) unlink(number int32) {
	at := &p.all[number]
	p.all[at.prev].next, p.all[at.next].prev = at.next, at.prev
}
