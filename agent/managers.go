package agent

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"

	"kiosc/cluster/wire"
)

// managersFile has the managers as they were last told, so that a restart doesn't depend on the addresses in the
// settings.
const managersFile = "managers.json"

const managersVersion = 1

type managersJSON struct {
	Version  int                   `json:"version"`
	Managers []wire.ManagerAddress `json:"managers"`
}

// loadManagers returns none where the file is missing or can't be used: the settings' addresses do as well.
func loadManagers(dir string, logger *slog.Logger) []wire.ManagerAddress {
	raw, err := os.ReadFile(filepath.Join(dir, managersFile))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	var file managersJSON
	if err == nil {
		err = json.Unmarshal(raw, &file)
	}
	if err == nil && file.Version != managersVersion {
		err = fmt.Errorf("it has version %d", file.Version)
	}
	if err != nil {
		logger.Warn("the list of managers is passed over", "file", managersFile, "error", err)
		return nil
	}
	return file.Managers
}

func saveManagers(dir string, managers []wire.ManagerAddress) error {
	raw, err := json.Marshal(managersJSON{Version: managersVersion, Managers: managers})
	if err != nil {
		return fmt.Errorf("encoding the list of managers: %w", err)
	}
	path := filepath.Join(dir, managersFile)
	if err := os.WriteFile(path+".new", raw, 0o600); err != nil {
		return fmt.Errorf("writing the list of managers: %w", err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		return fmt.Errorf("putting the list of managers in place: %w", err)
	}
	return nil
}
