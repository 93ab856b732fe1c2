// Package arch builds image classifiers by name: architectures (Design), the shipped teachers with their weights
// (LoadTeacher), the networks that others publish weights of (Registry), and the training of teachers (Train).
//
// Package models has what a layer computes, package checkpoint the formats of weight files.
package arch
