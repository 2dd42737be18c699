package engine

import (
	"math"
	"strconv"
	"syscall"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/mount"
	"github.com/docker/go-connections/nat"
	"github.com/docker/go-units"

	"kiosc/cluster/wire"
)

// DefaultMaxProcesses bounds what one app can start where the order says nothing else.
const DefaultMaxProcesses = 4096

// capabilities are what the processes of an app may do as root of their container: to prepare their files, to take
// another user, and to listen on a low port. Docker's own default has more, such as raw network packets and device nodes.
var capabilities = []string{"CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "NET_BIND_SERVICE", "SETGID", "SETUID"}

// scratch is what /tmp is of an app that can't write to its file system.
const scratch = "rw,exec,nosuid,nodev,mode=1777,size=1g"

func (e *Engine) describe(m Making) (*container.Config, *container.HostConfig) {
	spec := m.Spec
	config := &container.Config{
		Image: m.ImageID, Cmd: spec.Command, Env: spec.Env,
		Labels: map[string]string{labelCluster: e.cfg.ClusterID, labelNode: e.cfg.NodeID, labelContainer: m.Container,
			labelGeneration: strconv.FormatUint(m.Generation, 10), labelPlacement: strconv.FormatUint(m.Placement, 10),
			labelProject: spec.Project},
	}
	if spec.Heartbeat != "" {
		config.Labels[labelHeartbeat] = strconv.Itoa(spec.Port) + spec.Heartbeat
	}
	processes := spec.MaxProcesses
	if processes <= 0 {
		processes = DefaultMaxProcesses
	}
	// Namespaces of the host, host paths and privileges are never asked for.
	host := &container.HostConfig{
		LogConfig:      container.LogConfig{Type: "json-file", Config: map[string]string{"max-size": logFileSize, "max-file": logFiles}},
		SecurityOpt:    []string{"no-new-privileges"},
		CapDrop:        []string{"ALL"},
		CapAdd:         append(append([]string{}, capabilities...), spec.Capabilities...),
		IpcMode:        container.IPCModePrivate,
		ReadonlyRootfs: spec.ReadOnlyRoot,
		ShmSize:        spec.SharedMemory,
		Mounts:         e.mounts(spec),
		Resources: container.Resources{PidsLimit: &processes, NanoCPUs: spec.LimitMilliCPUs * 1e6, Memory: spec.LimitMemory,
			MemorySwap:        spec.LimitMemory, // no swap: it would be a way around the limit
			MemoryReservation: spec.ReservedMemory},
	}
	if spec.ReadOnlyRoot && !hasVolumeAt(spec, "/tmp") {
		host.Tmpfs = map[string]string{"/tmp": scratch}
	}
	if spec.GPUs != 0 {
		host.DeviceRequests = []container.DeviceRequest{{Count: spec.GPUs, Capabilities: [][]string{{"gpu"}}}}
	}
	if hard := min(max(spec.NoFileSoft, spec.NoFileHard), openFiles()); hard > 0 {
		soft := spec.NoFileSoft
		if soft <= 0 || soft > hard {
			soft = hard
		}
		host.Ulimits = []*units.Ulimit{{Name: "nofile", Soft: soft, Hard: hard}}
	}
	if spec.Port > 0 {
		port := nat.Port(strconv.Itoa(spec.Port) + "/tcp")
		config.ExposedPorts = nat.PortSet{port: {}}
		if e.mode == ModeHost {
			host.PortBindings = nat.PortMap{port: {{HostIP: "127.0.0.1"}}} // the engine chooses a free port
		}
	}
	return config, host
}

// openFiles is how many files a process of this machine may open at most. Docker can't start a container with more where
// it lacks the right to raise its own limit, as within another container.
func openFiles() int64 {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil || limit.Max > math.MaxInt64 {
		return math.MaxInt64
	}
	return int64(limit.Max)
}

func (e *Engine) mounts(spec wire.Spec) (mounts []mount.Mount) {
	for _, v := range spec.Volumes {
		mounts = append(mounts, mount.Mount{Type: mount.TypeVolume, Source: e.volumeName(spec.Project, v.Name), Target: v.Path})
	}
	return mounts
}

func hasVolumeAt(spec wire.Spec, path string) bool {
	for _, v := range spec.Volumes {
		if v.Path == path {
			return true
		}
	}
	return false
}
