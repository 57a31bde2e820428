package pretrained

import "io/fs"

// Files is the embedded model's folder.
func Files() (fs.FS, error) { return fs.Sub(files, "banking") }
