import { useCheckoutManifest } from "./manifest.ts";

useCheckoutManifest();
