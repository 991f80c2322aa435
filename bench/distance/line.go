// Joins two network namespaces by a long line: it delays each packet, loses some at random, and limits rate and queue.
//
// Usage: line <namespace> <address> <namespace> <address> <delay ms> <loss> <bits a second> <queue bytes> <seed>
//
// Each namespace gets a TUN device `line` with its address, a /24. Prints "ready" and runs until its standard input ends.
package main

import (
	"fmt"
	"io"
	"math/rand"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"syscall"
	"time"
	"unsafe"
)

const (
	setNamespace = 308 // setns(2) on x86-64; see namespaceCall
	tunSetIff    = 0x400454ca
	iffTun       = 0x0001
	iffNoPi      = 0x1000
	mtu          = 1500
)

func must(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func number(text string) float64 {
	value, err := strconv.ParseFloat(text, 64)
	must(err)
	return value
}

func namespaceCall() uintptr {
	if runtime.GOARCH == "arm64" {
		return 268
	}
	return setNamespace
}

// Opens a TUN device in a namespace. The thread stays there, so that no other goroutine runs in it.
func openTun(namespace, address string) *os.File {
	opened := make(chan *os.File)
	go func() {
		runtime.LockOSThread()
		ns, err := os.Open("/run/netns/" + namespace)
		must(err)
		if _, _, errno := syscall.RawSyscall(namespaceCall(), ns.Fd(), syscall.CLONE_NEWNET, 0); errno != 0 {
			must(errno)
		}
		fd, err := syscall.Open("/dev/net/tun", syscall.O_RDWR|syscall.O_CLOEXEC, 0)
		must(err)
		var request [40]byte
		copy(request[:], "line")
		request[16], request[17] = byte((iffTun|iffNoPi)&0xff), byte((iffTun|iffNoPi)>>8)
		if _, _, errno := syscall.Syscall(syscall.SYS_IOCTL, uintptr(fd), tunSetIff, uintptr(unsafe.Pointer(&request[0]))); errno != 0 {
			must(errno)
		}
		must(exec.Command("ip", "address", "add", address+"/24", "dev", "line").Run())
		must(exec.Command("ip", "link", "set", "line", "mtu", strconv.Itoa(mtu), "txqueuelen", "10000", "up").Run())
		opened <- os.NewFile(uintptr(fd), "line")
		select {}
	}()
	return <-opened
}

type packet struct {
	bytes []byte
	due   time.Time
}

type direction struct {
	delay      time.Duration
	loss       float64
	byteTime   time.Duration // of 1,000 bytes
	queueBytes float64
	random     *rand.Rand
}

// Reads packets from one end and writes each to the other when it is due.
func (d direction) run(from, to *os.File) {
	late := make(chan packet, 65536)
	go func() {
		for each := range late {
			if wait := time.Until(each.due); wait > 0 {
				time.Sleep(wait)
			}
			to.Write(each.bytes)
		}
	}()
	free := time.Now() // when the line has sent all that it has taken
	for {
		buffer := make([]byte, mtu)
		count, err := from.Read(buffer)
		if err != nil {
			return
		}
		now := time.Now()
		if free.Before(now) {
			free = now
		}
		queued := float64(free.Sub(now)) / float64(d.byteTime) * 1000
		if queued+float64(count) > d.queueBytes || d.random.Float64() < d.loss {
			continue
		}
		free = free.Add(d.byteTime * time.Duration(count) / 1000)
		select {
		case late <- packet{buffer[:count], free.Add(d.delay)}:
		default:
		}
	}
}

func main() {
	if len(os.Args) != 10 {
		must(fmt.Errorf("usage: line <namespace> <address> <namespace> <address> <delay ms> <loss> <bits a second> <queue bytes> <seed>"))
	}
	near, far := openTun(os.Args[1], os.Args[2]), openTun(os.Args[3], os.Args[4])
	seed := int64(number(os.Args[9]))
	line := direction{
		delay:      time.Duration(number(os.Args[5]) * float64(time.Millisecond)),
		loss:       number(os.Args[6]),
		byteTime:   time.Duration(8000 / number(os.Args[7]) * float64(time.Second)),
		queueBytes: number(os.Args[8]),
	}
	there, back := line, line
	there.random, back.random = rand.New(rand.NewSource(seed)), rand.New(rand.NewSource(seed+1))
	go there.run(near, far)
	go back.run(far, near)
	fmt.Println("ready")
	io.Copy(io.Discard, os.Stdin)
}
