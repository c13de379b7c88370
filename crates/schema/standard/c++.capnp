# Annotations that the C++ code generator reads.

@0xbdf87d7bb8304e81;

$namespace("capnp::annotations");

annotation namespace(file): Text;

annotation name(field, enumerant, struct, enum, interface, method, param, group, union): Text;
