package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"

	"github.com/spf13/cobra"

	"meetzone/appliance/adminapi"
)

func (r *remote) editCommand() *cobra.Command {
	var commit committing
	var file string
	cmd := &cobra.Command{
		Use:   "edit",
		Short: "Edit the candidate with $EDITOR, or replace it by a file",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := r.edit(cmd, file); err != nil {
				return err
			}
			return commit.perhaps(cmd, r)
		},
	}
	commit.flags(cmd)
	cmd.Flags().StringVar(&file, "file", "", "take the document from `FILE`, or from standard input if it is -")
	return cmd
}

func (r *remote) edit(cmd *cobra.Command, file string) error {
	client := r.client()
	if file != "" {
		text, err := readDocument(cmd, file)
		if err != nil {
			return fmt.Errorf("the document cannot be read: %w", err)
		}
		return client.Replace(cmd.Context(), adminapi.Document{YAML: string(text)})
	}
	document, err := client.Config(cmd.Context(), "", adminapi.SourceCandidate)
	if err != nil {
		return err
	}
	path, err := draft(document.YAML)
	if err != nil {
		return err
	}
	if err := editUntilAccepted(cmd, client, path, document); err != nil {
		fmt.Fprintf(cmd.ErrOrStderr(), "What you wrote is in %s\n", path)
		return err
	}
	return os.Remove(path)
}

// draft writes the text to a file that only its owner can read.
func draft(text string) (string, error) {
	f, err := os.CreateTemp("", "meetzone-*.yaml")
	if err != nil {
		return "", fmt.Errorf("no file to edit can be made: %w", err)
	}
	_, err = f.WriteString(text)
	return f.Name(), errors.Join(err, f.Close())
}

// editUntilAccepted opens the editor again for as long as the document has mistakes and the person wants to go on.
func editUntilAccepted(cmd *cobra.Command, client *adminapi.Client, path string, document adminapi.Document) error {
	in := bufio.NewReader(cmd.InOrStdin())
	for {
		if err := runEditor(cmd.Context(), path); err != nil {
			return err
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if bytes.Equal(text, []byte(document.YAML)) {
			return nil
		}
		err = client.Replace(cmd.Context(), adminapi.Document{YAML: string(text), Tag: document.Tag})
		told := new(adminapi.Error)
		if !errors.As(err, &told) || told.Code != adminapi.CodeInvalid {
			return err
		}
		explain(cmd.ErrOrStderr(), err)
		fmt.Fprint(cmd.ErrOrStderr(), "Edit again? [Y/n] ")
		answer, readErr := in.ReadString('\n')
		if readErr != nil || strings.HasPrefix(strings.ToLower(strings.TrimSpace(answer)), "n") {
			return err
		}
	}
}

// runEditor runs the person's editor on the terminal. The variable may carry arguments.
func runEditor(ctx context.Context, path string) error {
	editor := os.Getenv("VISUAL")
	if editor == "" {
		editor = os.Getenv("EDITOR")
	}
	words := append(strings.Fields(editor), path)
	if editor == "" {
		words = []string{"vi", path}
	}
	c := exec.CommandContext(ctx, words[0], words[1:]...)
	c.Stdin, c.Stdout, c.Stderr = os.Stdin, os.Stdout, os.Stderr
	if err := c.Run(); err != nil {
		return fmt.Errorf("the editor %s did not end well (%w); set EDITOR to one that is installed, or use --file", words[0], err)
	}
	return nil
}
