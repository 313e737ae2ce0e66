import preact from "@preact/preset-vite";
import { defineConfig } from "vite";

export default defineConfig({
  plugins: [preact()],
  // ECharts is half a megabyte, loaded when its first picture is shown.
  build: { outDir: "../build/console", emptyOutDir: true, target: "es2020", chunkSizeWarningLimit: 700 },
});
