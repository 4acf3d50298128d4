package adminapi

// StartCause is why the daemon has started.
type StartCause struct {
	Code StartCode `json:"code"`
	Text string    `json:"text"` // a sentence for people
}

// StartCode is one of a closed list of causes.
type StartCode string

// The causes of a start.
const (
	StartFirst    StartCode = "first"    // nothing is known of any run before
	StartService  StartCode = "service"  // the daemon alone was restarted, in order
	StartCrash    StartCode = "crash"    // the daemon alone ended without notice
	StartOrderly  StartCode = "orderly"  // the machine was restarted or switched off
	StartKernel   StartCode = "kernel"   // the kernel crashed
	StartWatchdog StartCode = "watchdog" // the hardware's watchdog reset the machine
	StartPower    StartCode = "power"    // none of these: power, or a reset button
)
