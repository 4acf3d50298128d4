package client

import (
	"fmt"
	"log/slog"
	"time"

	"github.com/pion/dtls/v3"
	"github.com/pion/ice/v4"
	"github.com/pion/interceptor"
	"github.com/pion/interceptor/pkg/nack"
	"github.com/pion/interceptor/pkg/report"
	"github.com/pion/interceptor/pkg/twcc"
	"github.com/pion/logging"
	"github.com/pion/sdp/v3"
	"github.com/pion/transport/v4/stdnet"
	"github.com/pion/webrtc/v4"

	"meetzone/zonectl/client/media"
	"meetzone/zonectl/wire"
)

// Timeouts of ICE. A path that is silent for disconnectedAfter is replaced by a fresh PeerConnection, so that failedAfter hardly matters.
const (
	disconnectedAfter = 4 * time.Second
	failedAfter       = 12 * time.Second
	keepaliveEvery    = 2 * time.Second
	maxChecks         = 100 // five a second: the lower rungs begin late, and pion gives a pair up after so many
)

// handshakeAgain is after how long a flight of the DTLS handshake is sent again that nothing has come back for; each time it takes twice as long. RFC
// 6347 begins with a second, for paths of which nothing is known; here an ICE check has just come back.
const handshakeAgain = 100 * time.Millisecond

// newAPI makes what a PeerConnection of one medium is made from: exactly the codecs and extensions of the protocol, sockets of its own.
func newAPI(medium wire.Medium, list []media.Codec, socks *sockets, light bool, logger *slog.Logger) (*webrtc.API, error) {
	engine := &webrtc.MediaEngine{}
	if err := registerCodecs(engine, medium, list); err != nil {
		return nil, fmt.Errorf("register codecs: %w", err)
	}
	registry, err := interceptors(engine, medium, light, pionLogs{logger})
	if err != nil {
		return nil, fmt.Errorf("set up interceptors: %w", err)
	}
	var setting webrtc.SettingEngine
	setting.LoggerFactory = pionLogs{logger}
	setting.SetICEUDPMux(socks)
	setting.SetNet(&stdnet.Net{}) // without interfaces: the sockets choose their addresses themselves
	setting.SetNetworkTypes([]webrtc.NetworkType{webrtc.NetworkTypeUDP4, webrtc.NetworkTypeUDP6})
	setting.SetICEMulticastDNSMode(ice.MulticastDNSModeDisabled)
	setting.SetIncludeLoopbackCandidate(true)
	setting.DisableActiveTCP(true)
	setting.SetICEMaxBindingRequests(maxChecks)
	setting.SetICETimeouts(disconnectedAfter, failedAfter, keepaliveEvery)
	setting.SetSDPMediaLevelFingerprints(true)
	// The router is the DTLS server. Left alone, pion would be one too, because its peer is ICE-lite.
	if err := setting.SetAnsweringDTLSRole(webrtc.DTLSRoleClient); err != nil {
		return nil, fmt.Errorf("be the DTLS client: %w", err)
	}
	setting.SetDTLSRetransmissionInterval(handshakeAgain)
	setting.SetSRTPProtectionProfiles(dtls.SRTP_AEAD_AES_128_GCM, dtls.SRTP_AES128_CM_HMAC_SHA1_80)
	setting.SetFireOnTrackBeforeFirstRTP(true)
	return webrtc.NewAPI(webrtc.WithMediaEngine(engine), webrtc.WithInterceptorRegistry(registry), webrtc.WithSettingEngine(setting)), nil
}

// registerCodecs registers what the protocol has for the medium, of pictures a list. The numbers are the router's; pion takes whatever the offer says.
func registerCodecs(engine *webrtc.MediaEngine, medium wire.Medium, list []media.Codec) error {
	if medium == wire.Audio {
		capability := webrtc.RTPCodecCapability{MimeType: webrtc.MimeTypeOpus, ClockRate: 48000, Channels: 2, SDPFmtpLine: "minptime=10;useinbandfec=1"}
		if err := engine.RegisterCodec(webrtc.RTPCodecParameters{RTPCodecCapability: capability, PayloadType: 111}, webrtc.RTPCodecTypeAudio); err != nil {
			return err
		}
		return engine.RegisterHeaderExtension(webrtc.RTPHeaderExtensionCapability{URI: audioLevelURI}, webrtc.RTPCodecTypeAudio)
	}
	for _, codec := range list {
		for _, parameters := range pictureCodec(codec, true) {
			if err := engine.RegisterCodec(parameters, webrtc.RTPCodecTypeVideo); err != nil {
				return err
			}
		}
	}
	if medium != wire.Video {
		return nil
	}
	return engine.RegisterHeaderExtension(webrtc.RTPHeaderExtensionCapability{URI: sdp.SDESRTPStreamIDURI}, webrtc.RTPCodecTypeVideo)
}

// pictureTypes are the router's payload types of pictures; each has RTX under the next number.
var pictureTypes = map[media.Codec]webrtc.PayloadType{media.VP8: 96, media.VP9: 98, media.H264: 102, media.AV1: 104}

// pictureCodec describes a codec to pion, with retransmissions or without.
func pictureCodec(codec media.Codec, repaired bool) []webrtc.RTPCodecParameters {
	feedback := []webrtc.RTCPFeedback{{Type: "ccm", Parameter: "fir"}, {Type: "nack", Parameter: "pli"}, {Type: "goog-remb"}, {Type: "transport-cc"}}
	if repaired {
		feedback = append(feedback, webrtc.RTCPFeedback{Type: "nack"})
	}
	capability := webrtc.RTPCodecCapability{MimeType: codec.MimeType(), ClockRate: codec.ClockRate(), RTCPFeedback: feedback}
	switch codec {
	case media.H264:
		capability.SDPFmtpLine = "level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f"
	case media.VP9:
		capability.SDPFmtpLine = "profile-id=0"
	}
	list := []webrtc.RTPCodecParameters{{RTPCodecCapability: capability, PayloadType: pictureTypes[codec]}}
	if repaired {
		capability := webrtc.RTPCodecCapability{MimeType: webrtc.MimeTypeRTX, ClockRate: codec.ClockRate(), SDPFmtpLine: fmt.Sprintf("apt=%d", pictureTypes[codec])}
		list = append(list, webrtc.RTPCodecParameters{RTPCodecCapability: capability, PayloadType: pictureTypes[codec] + 1})
	}
	return list
}

// interceptors registers reports, and unless light: NACK both ways and transport-wide feedback both ways.
func interceptors(engine *webrtc.MediaEngine, medium wire.Medium, light bool, logs logging.LoggerFactory) (*interceptor.Registry, error) {
	registry := &interceptor.Registry{}
	every := time.Second
	if light {
		every = 5 * time.Second
	}
	received := []report.ReceiverOption{report.ReceiverInterval(every), report.WithReceiverLoggerFactory(logs)}
	err := webrtc.ConfigureRTCPReportsWithOptions(registry, received, report.SenderInterval(every), report.WithSenderLoggerFactory(logs))
	if err != nil || light {
		return registry, err
	}
	if medium != wire.Audio {
		asks := []nack.GeneratorOption{nack.WithGeneratorLoggerFactory(logs)}
		if err := webrtc.ConfigureNackWithOptions(engine, registry, asks, nack.WithResponderLoggerFactory(logs)); err != nil {
			return nil, err
		}
	}
	mid := webrtc.RTPHeaderExtensionCapability{URI: sdp.SDESMidURI}
	if err := engine.RegisterHeaderExtension(mid, mediumKind(medium)); err != nil {
		return nil, err
	}
	if err := webrtc.ConfigureTWCCHeaderExtensionSender(engine, registry); err != nil {
		return nil, err
	}
	return registry, webrtc.ConfigureTWCCSenderWithOptions(engine, registry, twcc.WithLoggerFactory(logs))
}

// pionLogs hands pion's log to ours. All of it is for whoever looks for a fault: what matters to a session is told by states and errors.
type pionLogs struct{ logger *slog.Logger }

// NewLogger returns a logger of a part of pion.
func (p pionLogs) NewLogger(scope string) logging.LeveledLogger { return pionLog{p.logger, scope} }

type pionLog struct {
	logger *slog.Logger
	scope  string
}

func (p pionLog) log(message string) { p.logger.Debug(message, "pion", p.scope) }
func (p pionLog) logf(format string, args ...any) {
	p.logger.Debug(fmt.Sprintf(format, args...), "pion", p.scope)
}

// Traces are dropped: pion writes one for each packet.
func (p pionLog) Trace(string)                      {}
func (p pionLog) Tracef(string, ...any)             {}
func (p pionLog) Debug(string)                      {}
func (p pionLog) Debugf(string, ...any)             {}
func (p pionLog) Info(message string)               { p.log(message) }
func (p pionLog) Infof(format string, args ...any)  { p.logf(format, args...) }
func (p pionLog) Warn(message string)               { p.log(message) }
func (p pionLog) Warnf(format string, args ...any)  { p.logf(format, args...) }
func (p pionLog) Error(message string)              { p.log(message) }
func (p pionLog) Errorf(format string, args ...any) { p.logf(format, args...) }
