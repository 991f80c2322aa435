import { contentSourceContract } from "./content-source.ts";
import { directoryStorage } from "./content-source-directory.ts";
import { contentFilesContract } from "./content-source-files.ts";

contentSourceContract("directory", directoryStorage);
contentFilesContract("directory", directoryStorage);
