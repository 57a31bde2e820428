package chattemplate

import (
	"errors"
	"strings"
	"unicode"

	"github.com/nikolalohinski/gonja/v2/builtins"
	"github.com/nikolalohinski/gonja/v2/exec"
)

// list is a Python list. The library's own lists do not give their first element for the index -len, so messages[-1] of one message
// would be nothing.
type list []any

// GetItem is how the library asks for an element.
func (l list) GetItem(key any) (*exec.Value, bool) {
	i, ok := key.(int)
	if !ok {
		return exec.AsValue(nil), false
	}
	if i < 0 {
		i += len(l)
	}
	if i < 0 || i >= len(l) {
		return exec.AsValue(nil), false
	}
	return exec.AsValue(l[i]), true
}

// keptMethods are the library's methods of strings that stay as they are.
var keptMethods = []string{
	"capitalize", "casefold", "count", "endswith", "find", "isalnum", "isalpha", "isascii", "isdecimal", "isdigit", "islower", "isnumeric",
	"format", "isprintable", "isspace", "istitle", "isupper", "join", "lower", "partition", "removeprefix", "removesuffix", "rfind",
	"rpartition", "splitlines", "startswith", "swapcase", "title", "upper",
}

// stringMethods is Python's methods of strings: the library's, without those that pad to any width, and with our own where it goes wrong when
// the last arguments are left out.
func stringMethods() *exec.MethodSet[string] {
	methods := map[string]exec.Method[string]{
		"replace": replace, "split": split,
		"strip":  strip(strings.TrimFunc),
		"lstrip": strip(strings.TrimLeftFunc),
		"rstrip": strip(strings.TrimRightFunc),
	}
	for _, name := range keptMethods {
		if m, ok := builtins.Methods.Str.Get(name); ok {
			methods[name] = m
		}
	}
	return exec.NewMethodSet(methods)
}

func replace(self string, _ *exec.Value, args *exec.VarArgs) (any, error) {
	var from, to string
	var count int
	if err := args.Take(
		exec.PositionalArgument("old", nil, exec.StringArgument(&from)),
		exec.PositionalArgument("new", nil, exec.StringArgument(&to)),
		exec.PositionalArgument("count", exec.AsValue(-1), exec.IntArgument(&count)),
	); err != nil {
		return nil, exec.ErrInvalidCall(err)
	}
	return strings.Replace(self, from, to, count), nil
}

func split(self string, _ *exec.Value, args *exec.VarArgs) (any, error) {
	var separator string
	count := -1
	if len(args.Args) > 0 && !args.Args[0].IsNil() {
		if !args.Args[0].IsString() || args.Args[0].String() == "" {
			return nil, exec.ErrInvalidCall(errors.New("split takes a separator that is not empty"))
		}
		separator = args.Args[0].String()
	}
	if len(args.Args) > 1 {
		count = args.Args[1].Integer()
	}
	var parts []string
	switch {
	case separator == "":
		parts = strings.Fields(self)
	case count < 0:
		parts = strings.Split(self, separator)
	default:
		parts = strings.SplitN(self, separator, count+1)
	}
	out := make(list, len(parts))
	for i, p := range parts {
		out[i] = p
	}
	return out, nil
}

// strip takes off white space, or the runes of its argument.
func strip(trim func(string, func(rune) bool) string) exec.Method[string] {
	return func(self string, _ *exec.Value, args *exec.VarArgs) (any, error) {
		off := unicode.IsSpace
		if len(args.Args) > 0 && !args.Args[0].IsNil() {
			runes := args.Args[0].String()
			off = func(r rune) bool { return strings.ContainsRune(runes, r) }
		}
		return trim(self, off), nil
	}
}
