package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"teller/config"
	"teller/transformer/modelfile"
	"teller/transformer/pretrained"
)

type modelCmd struct {
	Export modelExportCmd `cmd:"" help:"Write a model as one GGUF file, which llama.cpp and others load."`
}

type modelExportCmd struct {
	To    string `required:"" type:"path" placeholder:"FILE.gguf" help:"The file to write. It is replaced at once."`
	Type  string `enum:"f32,f16,bf16,q8_0" default:"f32" help:"The number format of the matrices: ${enum}."`
	Model string `type:"path" placeholder:"PATH" help:"A model's folder or GGUF file. Default: CUSTOM_MODEL_PATH, else the embedded weights."`
}

func (c modelExportCmd) Run(ctx context.Context) error {
	t, err := modelfile.ParseType(c.Type)
	if err != nil {
		return err
	}
	model, err := openModel(c.Model)
	if err != nil {
		return err
	}
	err = replaceFile(c.To, func(w io.Writer) error { return model.WriteGGUF(stoppable{ctx, w}, t) })
	if err == nil {
		fmt.Printf("%s: %d parameters as %v, version %s\n", c.To, model.Weights.Parameters(), t, model.Version())
		if model.Weights.Ngrams != nil {
			fmt.Println("The bag of n-grams was left out, for GGUF has no place for it: llama.cpp computes what is left, a plain Llama.")
		}
	}
	return errors.Join(err, model.Close())
}

// openModel opens the model at path, or the one that is configured, or the embedded one.
func openModel(path string) (*modelfile.Model, error) {
	if path == "" {
		cfg, err := config.Load()
		if err != nil {
			return nil, err
		}
		path = cfg.CustomPath
	}
	if path != "" {
		return modelfile.Open(path)
	}
	files, err := pretrained.Files()
	if err != nil {
		return nil, err
	}
	return modelfile.OpenFS(files, "teller")
}

// replaceFile writes a file beside its place and renames it there: nobody sees half of it, and who has the old one mapped keeps it.
func replaceFile(path string, write func(io.Writer) error) error {
	tmp, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	err = write(tmp)
	err = errors.Join(err, tmp.Chmod(0o644), tmp.Sync(), tmp.Close())
	if err == nil {
		err = os.Rename(tmp.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(tmp.Name()))
	}
	return nil
}

// stoppable writes until ctx ends.
type stoppable struct {
	ctx context.Context
	io.Writer
}

func (s stoppable) Write(p []byte) (int, error) {
	if err := s.ctx.Err(); err != nil {
		return 0, err
	}
	return s.Writer.Write(p)
}
