package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"
)

const webapp = "github.com/querycache/querycache/examples/webapp"

// build builds the web application into a directory and returns the program.
func build(ctx context.Context, dir string) (string, error) {
	program := filepath.Join(dir, "webapp")
	out, err := exec.CommandContext(ctx, "go", "build", "-o", program, webapp).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("go build %s: %w\n%s", webapp, err, out)
	}
	return program, nil
}

// server is the web application in a process of its own.
type server struct {
	base   string // of its URLs
	cmd    *exec.Cmd
	cancel context.CancelFunc
}

// start starts the program and waits until it has said where it listens.
func start(ctx context.Context, program string, flags ...string) (*server, error) {
	ctx, cancel := context.WithCancel(ctx)
	cmd := exec.CommandContext(ctx, program, append([]string{"-addr", "127.0.0.1:0"}, flags...)...)
	cmd.Stderr = os.Stderr
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 20 * time.Second
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		cancel()
		return nil, err
	}
	s := &server{cmd: cmd, cancel: cancel}
	lines := bufio.NewScanner(out)
	if !lines.Scan() {
		return nil, errors.Join(fmt.Errorf("%s has not started", program), lines.Err(), s.stop())
	}
	s.base = lines.Text()
	return s, nil
}

// stop asks the server to end, unless the context has, and waits for it. One that
// does not end as it should is an error.
func (s *server) stop() error {
	s.cancel()
	err := s.cmd.Wait()
	if errors.Is(err, context.Canceled) {
		return nil // It was asked to end, and has ended well.
	}
	return err
}
