// Package geoip knows where addresses are, from a MaxMind DB file with countries or cities. A file that is missing, broken or old is an alarm,
// never an error of a lookup: what is not known is left open.
//
// File is one such file. It is read whole (so that a file that is overwritten in place cannot pull the memory away), and read again by Refresh
// when it has changed. All methods may be called from any goroutine; readers see one whole file.
//
// Basis: MaxMind DB format 2.0. Records need country.iso_code, location.latitude or location.longitude; everything else is passed over.
package geoip
