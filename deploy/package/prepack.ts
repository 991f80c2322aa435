import { build } from "./build.ts";
import { useCheckoutManifest, usePackageManifest } from "./manifest.ts";

// Whoever packed before may have been killed.
useCheckoutManifest();
build();
usePackageManifest();
