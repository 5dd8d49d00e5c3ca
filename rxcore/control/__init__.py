"""Control: ops that hold a Graph."""
