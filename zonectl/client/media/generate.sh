#!/bin/sh
# Makes the two loops that zoneclient sends when it is given no file: tone.ogg (Opus, 20 ms frames) and pattern.ivf (VP8, 640x360, 30 frames a
# second). Both last three seconds, so that they repeat without a seam: the tone holds whole periods, the pattern ends where it began.
# A keyframe every half second bounds how long somebody who just tuned in waits for a picture. Needs ffmpeg with libopus and libvpx; the result
# is committed, so that a build needs neither.
set -eu
cd "$(dirname "$0")"

# A tremolo makes the level move like speech does; 440 Hz and 2 Hz both divide three seconds.
ffmpeg -nostdin -hide_banner -loglevel error -y \
  -f lavfi -i 'sine=frequency=440:sample_rate=48000:duration=3' -af 'tremolo=f=2:d=0.5,volume=2.0' \
  -c:a libopus -b:a 32k -vbr off -application audio -frame_duration 20 -ac 1 -map_metadata -1 -fflags +bitexact -flags:a +bitexact tone.ogg

# A drifting colour field with a bar that crosses it once per second. The expressions are functions of the time modulo the loop.
ffmpeg -nostdin -hide_banner -loglevel error -y \
  -f lavfi -i "color=c=0x203040:size=640x360:rate=30:duration=3,format=yuv420p,\
geq=lum='clip(96+64*sin(2*PI*(X/320+T/3))+48*sin(2*PI*(Y/180-2*T/3)),16,235)*gt(abs(X-mod(640*T,640)),12)+\
235*lte(abs(X-mod(640*T,640)),12)':cb='128+60*sin(2*PI*(Y/360+T/3))':cr='128+60*cos(2*PI*(X/640-T/3))'" \
  -c:v libvpx -b:v 480k -minrate 480k -maxrate 480k -bufsize 480k -g 15 -keyint_min 15 -error-resilient default -auto-alt-ref 0 \
  -lag-in-frames 0 -deadline good -cpu-used 1 -map_metadata -1 -fflags +bitexact -flags:v +bitexact pattern.ivf

# The same in three sizes with three temporal layers each (0-2-1-2; the first of layer 2 after layer 0 refers to layer 0 alone, layer 1 always does),
# a keyframe every 16 frames, 3.2 seconds long.
layered() {
  ffmpeg -nostdin -hide_banner -loglevel error -y \
    -f lavfi -i "color=c=0x203040:size=$1x$2:rate=30:duration=3.2,format=yuv420p,\
geq=lum='clip(96+64*sin(2*PI*(X/W*2+T/3.2))+48*sin(2*PI*(Y/H*2-2*T/3.2)),16,235)*gt(abs(X-mod(W*T/1.6,W)),W/53)+\
235*lte(abs(X-mod(W*T/1.6,W)),W/53)':cb='128+60*sin(2*PI*(Y/H+T/3.2))':cr='128+60*cos(2*PI*(X/W-T/3.2))'" \
    -c:v libvpx -b:v "$3k" -minrate "$3k" -maxrate "$3k" -bufsize "$3k" -g 16 -keyint_min 16 -error-resilient default -auto-alt-ref 0 \
    -lag-in-frames 0 -deadline good -cpu-used 1 -map_metadata -1 -fflags +bitexact -flags:v +bitexact \
    -ts-parameters "ts_number_layers=3:ts_target_bitrate=$(($3 * 4 / 10)),$(($3 * 6 / 10)),$3:ts_rate_decimator=4,2,1:ts_periodicity=4:ts_layer_id=0,2,1,2:ts_layering_mode=3" "$4"
}
layered 320 180 150 pattern-l.ivf
layered 640 360 400 pattern-m.ivf
layered 1280 720 800 pattern-h.ivf

ls -l tone.ogg pattern*.ivf
