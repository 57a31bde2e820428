// Package corpus is Teller's own banking corpus, as reviewable text, and its loader: intents, the
// phrasings people use for them, good answers and the facts that an answer must carry. It makes
// dialogues out of them, with figures and dates filled in at random. It is pure data and imports
// nothing of Teller: it knows no tokenizer, no model and no training loop.
package corpus

import (
	"embed"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// Kind says what a good reply to an intent does.
type Kind string

// The kinds of intent.
const (
	Answer     Kind = "answer"       // answers a general question about banking; what an intent is unless it says otherwise
	Account    Kind = "account"      // asks for a fact of the caller's account: copied from the context, or never given at all
	LookAlike  Kind = "look_alike"   // sounds like something to refuse, and must be answered
	Refusal    Kind = "refusal"      // must be refused or deflected
	OutOfScope Kind = "out_of_scope" // is not about banking
	SmallTalk  Kind = "small_talk"   // greetings, thanks, goodbye, what the assistant is
)

// Corpus is a loaded and validated corpus. It is read-only and safe for concurrent use.
type Corpus struct {
	Intents []Intent // in the order of the files' names and of the lines in them

	byName   map[string]int // index into Intents
	contexts []int          // indices of the intents that have a context
}

// Intent is one thing that people ask for. Its texts hold slots such as {amount}.
type Intent struct {
	Name  string
	Topic string
	Kind  Kind
	// After names the intents whose exchange may come before this one's question; with any, the
	// question makes sense only as a follow-up.
	After []string
	// Families group phrasings that are rewordings of one another; splits never divide a family.
	Families []Family
	// Answers are good replies when the context does not settle the question.
	Answers []string
	// Facts are what every answer carries: of each fact one alternative, ignoring case.
	Facts [][]string
	// Forbidden are texts that no answer may hold, ignoring case.
	Forbidden []string
	// Context is set when facts about the account can settle the question.
	Context *Context
}

// Family is a set of phrasings that are rewordings of one another.
type Family struct {
	// ID is the intent's name, a slash and the words of the first phrasing. The split depends on it.
	ID        string
	Phrasings []string
}

// Context is how a fact about the caller's account is stated, and the answers that copy it.
type Context struct {
	// Fact names what is stated. Intents whose facts share a name are never mixed in one context.
	Fact string
	// Lines are alternative wordings of the same fact; some say more than others.
	Lines []string
	// Answers use only slots that every line has, and all of them the same slots.
	Answers []string
	// Slots are those of the answers: their filled values are the facts that an answer carries.
	Slots []string
}

//go:embed banking/*.yaml
var embedded embed.FS

// Load gives the corpus that ships with Teller.
func Load() (*Corpus, error) {
	return load(embedded, "banking", "corpus/banking")
}

// LoadDir reads every *.yaml file of a folder as one corpus. Its error is the errors.Join of all
// that is wrong, each an *Error.
func LoadDir(dir string) (*Corpus, error) {
	return load(os.DirFS(dir), ".", dir)
}

// load reads the folder root of fsys. shown is the folder's name in errors.
func load(fsys fs.FS, root, shown string) (*Corpus, error) {
	entries, err := fs.ReadDir(fsys, root)
	if err != nil {
		return nil, &Error{File: shown, Message: "the folder cannot be read", Cause: err}
	}
	var files []file
	for _, entry := range entries {
		if entry.IsDir() || !strings.HasSuffix(entry.Name(), ".yaml") {
			continue
		}
		name := filepath.Join(shown, entry.Name())
		path := entry.Name()
		if root != "." {
			path = root + "/" + path
		}
		data, err := fs.ReadFile(fsys, path)
		if err != nil {
			return nil, &Error{File: name, Message: "the file cannot be read", Cause: err}
		}
		parsed, err := parse(name, data)
		if err != nil {
			return nil, err
		}
		files = append(files, parsed)
	}
	if len(files) == 0 {
		return nil, &Error{File: shown, Message: "the folder holds no .yaml file"}
	}
	return build(files)
}

// Names lists the intents' names, in the corpus's order.
func (c *Corpus) Names() []string {
	names := make([]string, len(c.Intents))
	for i, intent := range c.Intents {
		names[i] = intent.Name
	}
	return names
}

// Intent finds an intent by its name.
func (c *Corpus) Intent(name string) (Intent, bool) {
	i, ok := c.byName[name]
	if !ok {
		return Intent{}, false
	}
	return c.Intents[i], true
}
