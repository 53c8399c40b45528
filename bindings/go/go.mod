module github.com/aptpod/libiscp/bindings/go

go 1.21
