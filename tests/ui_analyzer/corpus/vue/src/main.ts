import { createApp } from "vue";
import App from "./App.vue";
import { report } from "./lib/report";

const app = createApp(App);
app.config.errorHandler = (error) => report(error);
app.mount("#app");
