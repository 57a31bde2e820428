package main

import (
	"io"
	"os"

	"github.com/mattn/go-isatty"
	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"
)

// evalProgress shows how many questions are answered, on a terminal only: elsewhere the output is for programs.
type evalProgress struct {
	pool *mpb.Progress // nil when nobody looks
	bar  *mpb.Bar
}

func newEvalProgress(out io.Writer, questions int) *evalProgress {
	p := &evalProgress{}
	if f, ok := out.(*os.File); ok && isatty.IsTerminal(f.Fd()) {
		p.pool = mpb.New(mpb.WithOutput(out), mpb.WithWidth(32))
		p.bar = p.pool.AddBar(int64(questions), mpb.AppendDecorators(
			decor.CountersNoUnit("%d/%d  "), decor.AverageSpeed(0, "%.0f/s  "), decor.AverageETA(decor.ET_STYLE_GO), decor.Name(" left")))
	}
	return p
}

// add counts a question. It is safe for concurrent use.
func (p *evalProgress) add() {
	if p.bar != nil {
		p.bar.Increment()
	}
}

// end leaves the bar as it stands.
func (p *evalProgress) end() {
	if p.pool == nil {
		return
	}
	if !p.bar.Completed() {
		p.bar.Abort(false)
	}
	p.pool.Wait()
}
