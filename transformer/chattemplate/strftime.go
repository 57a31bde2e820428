package chattemplate

import (
	"strings"
	"time"
)

// strftimeLayouts is Python's codes that templates use, as Go's layouts.
var strftimeLayouts = map[byte]string{
	'd': "02", 'm': "01", 'Y': "2006", 'y': "06", 'b': "Jan", 'B': "January", 'a': "Mon", 'A': "Monday", 'H': "15", 'I': "03", 'M': "04",
	'S': "05", 'p': "PM", 'j': "002", 'Z': "MST", 'z': "-0700", 'F': "2006-01-02", 'T': "15:04:05",
}

// strftime writes a time as Python does; unknown codes stay as they are.
func strftime(format string, t time.Time) string {
	var out strings.Builder
	for i := 0; i < len(format); i++ {
		if format[i] != '%' || i+1 == len(format) {
			out.WriteByte(format[i])
			continue
		}
		i++
		switch layout, ok := strftimeLayouts[format[i]]; {
		case ok:
			out.WriteString(t.Format(layout))
		case format[i] == '%':
			out.WriteByte('%')
		default:
			out.WriteString(format[i-1 : i+1])
		}
	}
	return out.String()
}
