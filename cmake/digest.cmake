# Writes OUT, a C file with a digest of FILES as codegen_version (codegen/internal.h):
#   cmake -DOUT=version.c "-DFILES=a.c;b.h" -P digest.cmake
list(SORT FILES)
set(all "")
foreach(file IN LISTS FILES)
  file(SHA256 "${file}" digest)
  string(APPEND all "${digest}")
endforeach()
string(SHA256 digest "${all}")
string(SUBSTRING "${digest}" 0 32 digest)
file(WRITE "${OUT}" "#include \"internal.h\"\n\nconst char codegen_version[] = \"${digest}\";\n")
