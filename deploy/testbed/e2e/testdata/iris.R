library(shiny)

data <- get(Sys.getenv("dataset"), "package:datasets")

ui <- fluidPage(
  titlePanel(Sys.getenv("title")),
  selectInput("column", "Column", names(Filter(is.numeric, data))),
  textOutput("mean"),
  plotOutput("plot")
)

server <- function(input, output) {
  output$mean <- renderText(paste("mean =", round(mean(data[[input$column]]), 2)))
  output$plot <- renderPlot(hist(data[[input$column]], main = input$column))
}

shinyApp(ui, server)
