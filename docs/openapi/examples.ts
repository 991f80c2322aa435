import type { DescField } from "@bufbuild/protobuf";

/** Values that readers of the document see, by the names of fields; those of the example library, where there is one. */
const examples: Readonly<Record<string, unknown>> = {
  checksum: "2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae",
  client_error_message: "The disk is full.",
  client_token: "9d3dc3a6-4d1c-4d5e-8a44-2f0a2f3f6a1e",
  default_message: "Library item 'none' does not exist.",
  download_session_id: "2c934586-91e4-4b68-9f7e-1d3a8f1f5b0c",
  error_message: "Maintenance of the storage",
  file_name: "photon.ovf",
  library_id: "demo",
  library_item_id: "photon",
  progress: 42,
  user: "alice",
};

/** The example of a field, as a member of its schema. */
export function exampleOf({ name, fieldKind }: DescField): { readonly examples?: readonly unknown[] } {
  return fieldKind === "scalar" && name in examples ? { examples: [examples[name]] } : {};
}
