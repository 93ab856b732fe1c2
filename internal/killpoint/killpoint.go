// Package killpoint marks places before file operations, at which a test can kill the process or make the operation
// fail. Only with the build tag killpoint does it do anything.
package killpoint
