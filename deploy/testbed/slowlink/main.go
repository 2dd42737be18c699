// Command slowlink is a slow or lossy cable: it makes two tap devices and carries Ethernet frames between them, each some
// time later, in order, and loses some of them.
//
//	slowlink [--delay 50ms] [--loss 1%] DEVICE DEVICE
//
// It is there because tc's netem is missing from kernels that are built for small virtual machines. It runs until it is
// killed; its devices go with it.
package main

import (
	"flag"
	"fmt"
	"log"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"
	"unsafe"
)

const (
	frameSize = 1 << 16
	queueSize = 1 << 14 // frames on their way; like a router, it drops what is more

	iffTap      = 0x0002
	iffNoPI     = 0x1000 // frames come without a header of the tap's own
	tunSetIff   = 0x400454ca
	ifNameSize  = 16
	ifReqLength = 40
)

type frame struct {
	due  time.Time
	data []byte
}

// percent is a share that is given as "1%".
type percent float64

func (p *percent) String() string { return fmt.Sprintf("%g%%", float64(*p)*100) }

func (p *percent) Set(text string) error {
	value, err := strconv.ParseFloat(strings.TrimSuffix(text, "%"), 64)
	if err != nil || value < 0 || value > 100 {
		return fmt.Errorf("%q is no share such as 1%%", text)
	}
	*p = percent(value / 100)
	return nil
}

func main() {
	var loss percent
	delay := flag.Duration("delay", 0, "how much later a frame arrives")
	flag.Var(&loss, "loss", "share of frames that are lost, such as 1%")
	flag.Parse()
	if flag.NArg() != 2 || *delay < 0 {
		flag.Usage()
		os.Exit(2)
	}
	var taps [2]int
	for i, name := range flag.Args() {
		fd, err := open(name)
		if err != nil {
			log.Fatalf("slowlink: making the device %s: %v", name, err)
		}
		taps[i] = fd
	}
	go carry(taps[0], taps[1], *delay, float64(loss))
	carry(taps[1], taps[0], *delay, float64(loss))
}

// open makes a tap device. Without offloads asked for, the kernel hands over frames of the device's own size with
// complete checksums.
func open(name string) (int, error) {
	if len(name) >= ifNameSize {
		return 0, fmt.Errorf("the name has more than %d characters", ifNameSize-1)
	}
	fd, err := syscall.Open("/dev/net/tun", syscall.O_RDWR|syscall.O_CLOEXEC, 0)
	if err != nil {
		return 0, fmt.Errorf("opening /dev/net/tun: %w", err)
	}
	var request [ifReqLength]byte
	copy(request[:], name)
	*(*uint16)(unsafe.Pointer(&request[ifNameSize])) = iffTap | iffNoPI
	if _, _, errno := syscall.Syscall(syscall.SYS_IOCTL, uintptr(fd), tunSetIff, uintptr(unsafe.Pointer(&request))); errno != 0 {
		return 0, errno
	}
	return fd, nil
}

// carry moves frames one way.
func carry(from, to int, delay time.Duration, loss float64) {
	queue := make(chan frame, queueSize)
	go func() {
		for f := range queue {
			time.Sleep(time.Until(f.due))
			syscall.Write(to, f.data) // a device that is down loses frames, as a cable that is unplugged does
		}
	}()
	buffer := make([]byte, frameSize)
	for {
		n, err := syscall.Read(from, buffer)
		if err == syscall.EINTR || err == syscall.EIO { // EIO: the device is not up yet
			if err == syscall.EIO {
				time.Sleep(time.Millisecond)
			}
			continue
		}
		if err != nil {
			log.Fatalf("slowlink: reading a frame: %v", err)
		}
		if loss > 0 && rand.Float64() < loss {
			continue
		}
		select {
		case queue <- frame{time.Now().Add(delay), append([]byte(nil), buffer[:n]...)}:
		default:
		}
	}
}
