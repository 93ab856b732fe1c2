// Package arch builds image classifiers by name: architectures (Design), the shipped teachers with their weights
// (LoadTeacher), what others publish weights of (Registry), and the training of teachers (Train).
//
// What a layer computes belongs in package models, and formats of weight files in package checkpoint.
package arch
