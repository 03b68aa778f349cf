package compose

import (
	"os"
	"path/filepath"
	"runtime"
	"testing"
)

// repo is the repository's folder, two above this file's.
func repo() string {
	_, file, _, _ := runtime.Caller(0)
	return filepath.Dir(filepath.Dir(filepath.Dir(file)))
}

func read(t *testing.T, name string) []byte {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(repo(), name))
	if err != nil {
		t.Fatal(err)
	}
	return text
}
