package tokenizers

import "unicode/utf8"

// byteToRune is GPT-2's table from bytes to printable runes, in which files spell byte-level tokens: printable Latin-1 stands for
// itself, the other 68 bytes take the runes from U+0100 upward.
var byteToRune = func() (table [256]rune) {
	next := rune(0x100)
	for b := range table {
		if r := rune(b); r >= '!' && r <= '~' || r >= '¡' && r <= '¬' || r >= '®' && r <= 'ÿ' {
			table[b] = r
		} else {
			table[b] = next
			next++
		}
	}
	return table
}()

var runeToByte = func() map[rune]byte {
	inverse := make(map[rune]byte, len(byteToRune))
	for b, r := range byteToRune {
		inverse[r] = byte(b)
	}
	return inverse
}()

// unspell gives the bytes that a token is spelled for; it fails on a rune that is not in the table.
func unspell(spelled string) (string, bool) {
	out := make([]byte, 0, len(spelled))
	for _, r := range spelled {
		b, ok := runeToByte[r]
		if !ok {
			return "", false
		}
		out = append(out, b)
	}
	return string(out), true
}

// spellByte is the spelling of one byte.
func spellByte(b byte) string { return string(utf8.AppendRune(nil, byteToRune[b])) }
